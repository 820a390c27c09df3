// torch's pybind11 refuses to be included where TORCH_TARGET_VERSION is defined (torch 2.10);
// it has nothing to do with torch's C++ interface, which that is about.
#pragma once
#pragma push_macro("TORCH_TARGET_VERSION")
#undef TORCH_TARGET_VERSION
#include_next <pybind11/eval.h>
#pragma pop_macro("TORCH_TARGET_VERSION")
