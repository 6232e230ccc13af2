"""`make bench`: Leadhook beside its limits and beside what one would otherwise write. See docs/benchmarks.md."""
