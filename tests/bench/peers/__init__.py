"""What one would otherwise write: each as a competent developer would, doing the same work as Leadhook does."""
