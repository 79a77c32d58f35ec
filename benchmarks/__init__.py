"""Benchmarks of the promises in docs/benchmarks.md, each beside a baseline that imports nothing of ours."""
