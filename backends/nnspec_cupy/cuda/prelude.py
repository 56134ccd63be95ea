"""What every kernel may call: NumPy's meaning of extremes, signs, remainders and powers, in CUDA C."""

PRELUDE = r"""
template <class T, int N> struct alignas(N * sizeof(T)) nn_vector { T at[N]; };
template <class T> __device__ __forceinline__ T nn_inf();
template <> __device__ __forceinline__ float nn_inf<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ double nn_inf<double>() { return __longlong_as_double(0x7ff0000000000000ll); }
template <class T> __device__ __forceinline__ T nn_nan();
template <> __device__ __forceinline__ float nn_nan<float>() { return __int_as_float(0x7fc00000); }
template <> __device__ __forceinline__ double nn_nan<double>() { return __longlong_as_double(0x7ff8000000000000ll); }
template <class T> __device__ __forceinline__ T nn_maximum(T a, T b) { return a != a ? a : b != b ? b : a > b ? a : b; }
template <class T> __device__ __forceinline__ T nn_minimum(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }
template <class T> __device__ __forceinline__ bool nn_above(T a, long long i, T b, long long j) {
    const bool an = a != a, bn = b != b;  // NaN is above all; of equals the first
    return an != bn ? an : an || a == b ? i < j : a > b;
}
template <class T> __device__ __forceinline__ T nn_abs(T x) { return x < T(0) ? T(-x) : x == T(0) ? T(0) : x; }
template <class T> __device__ __forceinline__ T nn_relu(T x) { return x < T(0) ? T(0) : x; }
template <class T> __device__ __forceinline__ T nn_step(T x) { return x > T(0) ? T(1) : T(0); }
template <class T> __device__ __forceinline__ T nn_sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x; }
template <class T> __device__ __forceinline__ bool nn_finite(T x) { return x - x == T(0); }
__device__ __forceinline__ float nn_sigmoid(float x) {
    float z = expf(-fabsf(x)), y = 1.0f / (1.0f + z);
    return x >= 0.0f ? y : x < 0.0f ? z * y : x;
}
__device__ __forceinline__ double nn_sigmoid(double x) {
    double z = exp(-fabs(x)), y = 1.0 / (1.0 + z);
    return x >= 0.0 ? y : x < 0.0 ? z * y : x;
}
__device__ __forceinline__ float nn_bfloat16(float x) {
    unsigned int bits = __float_as_uint(x);
    return x != x ? x : __uint_as_float((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}
__device__ __forceinline__ float nn_float16(float x) {
    unsigned int bits = __float_as_uint(x);
    const float size = fabsf(x);
    if (!(size < 65520.0f)) return x != x ? x : copysignf(nn_inf<float>(), x);
    if (size < 6.103515625e-5f) return copysignf(__fadd_rn(__fadd_rn(size, 0.5f), -0.5f), x);  // below 2^-14 steps are 2^-24, those of 0.5
    return __uint_as_float((bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u);
}
struct nn_bf16 {  // 16 bits of memory; all else is done in float
    unsigned short bits;
    nn_bf16() = default;
    __device__ __forceinline__ nn_bf16(float x) : bits(x != x ? 0x7fffu : __float_as_uint(nn_bfloat16(x)) >> 16) {}
    __device__ __forceinline__ operator float() const { return __uint_as_float((unsigned int)bits << 16); }
};
struct nn_f16 {
    unsigned short bits;
    nn_f16() = default;
    __device__ __forceinline__ nn_f16(float x) {
        const unsigned int sign = __float_as_uint(x) >> 16 & 0x8000u;
        const float size = fabsf(nn_float16(x));
        bits = sign | (x != x ? 0x7fffu : size >= 65536.0f ? 0x7c00u : size < 6.103515625e-5f ? (unsigned int)(size * 16777216.0f)
                              : (__float_as_uint(size) >> 13) - 0x1c000u);
    }
    __device__ __forceinline__ operator float() const {
        const unsigned int rest = bits & 0x7fffu, sign = (unsigned int)(bits & 0x8000u) << 16;
        const float size = rest < 0x400u ? rest * 5.9604644775390625e-8f
                         : __uint_as_float(rest < 0x7c00u ? (rest << 13) + 0x38000000u : (rest << 13) + 0x70000000u);
        return __uint_as_float(__float_as_uint(size) | sign);
    }
};
template <class T> __device__ __forceinline__ T nn_remainder(T a, T b) {
    if (b == T(0)) return T(0);
    T r = a % b;
    return r != T(0) && ((r < T(0)) != (b < T(0))) ? r + b : r;
}
template <> __device__ __forceinline__ float nn_remainder<float>(float a, float b) {
    float r = fmodf(a, b);
    return r == 0.0f ? copysignf(0.0f, b) : (r < 0.0f) != (b < 0.0f) ? r + b : r;
}
template <> __device__ __forceinline__ double nn_remainder<double>(double a, double b) {
    double r = fmod(a, b);
    return r == 0.0 ? copysign(0.0, b) : (r < 0.0) != (b < 0.0) ? r + b : r;
}
template <class T> __device__ __forceinline__ T nn_floor_divide(T a, T b) {
    if (b == T(0)) return T(0);
    T q = a / b;
    return a % b != T(0) && ((a < T(0)) != (b < T(0))) ? q - T(1) : q;
}
template <class T> __device__ __forceinline__ T nn_floor_divide_of_floats(T a, T b) {
    if (b == T(0)) return a / b;
    T r = nn_remainder(a, b), q = (a - r) / b, whole = floor(q);
    return q - whole > T(0.5) ? whole + T(1) : whole;
}
template <> __device__ __forceinline__ float nn_floor_divide<float>(float a, float b) { return nn_floor_divide_of_floats(a, b); }
template <> __device__ __forceinline__ double nn_floor_divide<double>(double a, double b) { return nn_floor_divide_of_floats(a, b); }
template <class T> __device__ __forceinline__ T nn_power(T x, T n) {
    T y = T(1);
    for (; n > T(0); n >>= 1, x *= x) y = n & T(1) ? T(y * x) : y;
    return y;
}
template <> __device__ __forceinline__ float nn_power<float>(float x, float n) { return powf(x, n); }
template <> __device__ __forceinline__ double nn_power<double>(double x, double n) { return pow(x, n); }
"""
