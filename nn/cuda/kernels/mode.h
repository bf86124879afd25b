#pragma once

enum { FP32, TF32, TF32X3, MIXED }; // how products are computed; MIXED is TF32X3 with its smaller products in BF16
