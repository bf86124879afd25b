#pragma once

enum { FP32, TF32, TF32X3, FP16X3 }; // how products are computed; FP16X3 is for patch.h
