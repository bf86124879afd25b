package main

func racer() {}
