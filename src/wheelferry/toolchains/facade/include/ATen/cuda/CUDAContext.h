// Part of wheelferry's facade of torch: see wheelferry/cuda.h
#pragma once
#include <wheelferry/cuda.h>
