"""The delivery engine: lanes (ring, take, drain), what is due, sending, recording. See docs/how-it-works.md."""
