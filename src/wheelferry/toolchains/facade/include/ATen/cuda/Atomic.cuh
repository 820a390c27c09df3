// Part of wheelferry's facade of torch: see wheelferry/atomic.cuh
#pragma once
#include <wheelferry/atomic.cuh>
