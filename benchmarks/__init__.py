"""Benchmarks: README.md explains what was measured, results/ holds the reports, the scripts measure it again."""
