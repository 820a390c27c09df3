// Part of wheelferry's facade: see wheelferry/classes.h
#pragma once
#include <wheelferry/classes.h>
