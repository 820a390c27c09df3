// Part of wheelferry's facade of torch: see wheelferry/at.h
#pragma once
#include <wheelferry/at.h>
#include <wheelferry/library.h>
