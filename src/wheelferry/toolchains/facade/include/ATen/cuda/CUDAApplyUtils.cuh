// Part of wheelferry's facade of torch: see wheelferry/device.cuh
#pragma once
#include <wheelferry/device.cuh>
#include <wheelferry/cuda.h>
