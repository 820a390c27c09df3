// at::empty and at::zeros alone: a header with all functions of torch takes most of a compilation's time.
#pragma once

#if __has_include(<ATen/ops/empty.h>)
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#else // torch before 1.11
#include <ATen/Functions.h>
#endif
