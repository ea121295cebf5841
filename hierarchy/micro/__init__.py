"""Micro time: a WaveNet that makes grains of sound."""
