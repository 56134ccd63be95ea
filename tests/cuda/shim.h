// CUDA C on a CPU: blocks one after another, a fiber a thread, so that barriers and shuffles work as on a GPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) alignas(n)

struct uint3 { unsigned int x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) uint4 { unsigned int x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace shim {
constexpr size_t STACK = 1 << 16;
struct Fiber { ucontext_t context; bool done; };
static std::vector<Fiber> fibers;
static std::vector<char> stacks;
static ucontext_t scheduler;
static unsigned int current, threads, begin;  // ``begin``: the first block that is run
static void (*entry)(void**);
static void** arguments;
static unsigned char exchanged[1024 * 16];
}  // namespace shim

static uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

namespace shim {
inline void place(unsigned int i) {
    current = i;
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
}
// Every thread of the block comes here before any goes on.
inline void barrier() { swapcontext(&fibers[current].context, &scheduler); }
inline void body() {
    entry(arguments);
    fibers[current].done = true;
    swapcontext(&fibers[current].context, &scheduler);
}
// One block. A thread that has returned is waited for by no barrier, as on a GPU.
inline void block() {
    if (fibers.size() < threads) {
        fibers.resize(threads);
        stacks.resize(threads * STACK);
    }
    for (unsigned int i = 0; i < threads; ++i) {
        getcontext(&fibers[i].context);
        fibers[i].context.uc_stack.ss_sp = stacks.data() + i * STACK;
        fibers[i].context.uc_stack.ss_size = STACK;
        fibers[i].context.uc_link = nullptr;
        fibers[i].done = false;
        makecontext(&fibers[i].context, body, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (unsigned int i = 0; i < threads; ++i) {
            if (fibers[i].done) continue;
            place(i);
            swapcontext(&scheduler, &fibers[i].context);
            any = true;
        }
    }
}
template <class T> inline T& cell(unsigned int i) { return reinterpret_cast<T*>(exchanged)[i]; }
// What every thread of the block gives is there for all; a second barrier keeps it until all have read.
template <class T, class F> inline auto exchange(T value, F read) {
    static_assert(sizeof(T) <= 16);
    cell<T>(current) = value;
    barrier();
    auto found = read();
    barrier();
    return found;
}
template <class... A, size_t... I> inline void apply(void (*f)(A...), void** a, std::index_sequence<I...>) { f(((A)a[I])...); }
template <class... A> inline void apply(void (*f)(A...), void** a) { apply(f, a, std::index_sequence_for<A...>()); }
inline void run(void (*function)(void**), void** a, const unsigned int* grid, const unsigned int* size, bool fibered) {
    entry = function;
    arguments = a;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {size[0], size[1], size[2]};
    threads = size[0] * size[1] * size[2];
    for (unsigned int z = 0; z < grid[2]; ++z)
        for (unsigned int y = 0; y < grid[1]; ++y)
            for (unsigned int x = begin; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                if (fibered) {
                    block();
                } else {
                    for (unsigned int i = 0; i < threads; ++i) {
                        place(i);
                        function(a);
                    }
                }
            }
}
inline unsigned int warp() { return current / 32 * 32; }
inline unsigned int last() { return std::min(warp() + 32, threads); }
}  // namespace shim

extern "C" void begin_at(unsigned int block) { shim::begin = block; }
inline void __syncthreads() { shim::barrier(); }
inline void __syncwarp(unsigned int = ~0u) { shim::barrier(); }
inline void __threadfence() {}
inline int __syncthreads_and(int p) {
    return shim::exchange<int>(p, [] { int all = 1; for (unsigned i = 0; i < shim::threads; ++i) all = all && shim::cell<int>(i); return all; });
}
inline int __syncthreads_or(int p) {
    return shim::exchange<int>(p, [] { int any = 0; for (unsigned i = 0; i < shim::threads; ++i) any = any || shim::cell<int>(i); return any; });
}
inline int __syncthreads_count(int p) {
    return shim::exchange<int>(p != 0, [] { int n = 0; for (unsigned i = 0; i < shim::threads; ++i) n += shim::cell<int>(i); return n; });
}
template <class T> inline T __shfl_sync(unsigned int, T v, int lane, int width = 32) {
    return shim::exchange<T>(v, [=] { unsigned own = shim::current % 32; return shim::cell<T>(shim::warp() + own / width * width + lane % width); });
}
template <class T> inline T __shfl_down_sync(unsigned int, T v, unsigned int by, int width = 32) {
    return shim::exchange<T>(v, [=] {
        unsigned own = shim::current % 32, from = own % width + by < (unsigned)width ? own + by : own;
        return shim::cell<T>(std::min(shim::warp() + from, shim::last() - 1));
    });
}
template <class T> inline T __shfl_up_sync(unsigned int, T v, unsigned int by, int width = 32) {
    return shim::exchange<T>(v, [=] { unsigned own = shim::current % 32; return shim::cell<T>(shim::warp() + (own % width >= by ? own - by : own)); });
}
template <class T> inline T __shfl_xor_sync(unsigned int, T v, int mask, int width = 32) {
    return shim::exchange<T>(v, [=] { (void)width; return shim::cell<T>(std::min(shim::warp() + ((shim::current % 32) ^ mask), shim::last() - 1)); });
}
inline unsigned int __ballot_sync(unsigned int, int p) {
    return shim::exchange<int>(p, [] { unsigned m = 0; for (unsigned i = shim::warp(); i < shim::last(); ++i) m |= (shim::cell<int>(i) ? 1u : 0u) << (i - shim::warp()); return m; });
}
inline int __any_sync(unsigned int m, int p) { return __ballot_sync(m, p) != 0; }
inline int __all_sync(unsigned int m, int p) { return __ballot_sync(m, !p) == 0; }
inline unsigned int __activemask() { return ~0u; }

template <class T> inline T atomicAdd(T* p, T v) { T old = *p; *p += v; return old; }
template <class T> inline T atomicMax(T* p, T v) { T old = *p; *p = std::max(old, v); return old; }
template <class T> inline T atomicOr(T* p, T v) { T old = *p; *p |= v; return old; }
template <class T> inline T atomicAnd(T* p, T v) { T old = *p; *p &= v; return old; }
template <class T> inline T atomicExch(T* p, T v) { T old = *p; *p = v; return old; }
template <class T> inline T __ldg(const T* p) { return *p; }
inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
inline unsigned int __float_as_uint(float x) { unsigned int y; memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned int x) { float y; memcpy(&y, &x, 4); return y; }
inline double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
inline long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
inline unsigned int __umulhi(unsigned int a, unsigned int b) { return (unsigned int)(((unsigned long long)a * b) >> 32); }
inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
using std::max;
using std::min;
