"""Loop nests as LLVM IR with explicit vectors, compiled through llvmlite (extra ``fast``); without it nothing is fused."""
