#pragma once

typedef long long distance;

// View is where the pictures of a value are: pixel (y, x) of image n at point p begins at
// data + p·point + n·image + (y·width + x)·pixel, its channels one after another.
struct View {
	float *data;
	distance point, image;
	int pixel;
	int even; // whether pairs of channels are aligned: 2 for fours
};

struct __attribute__((aligned(16))) Four { float v[4]; };
