"""What the product does: functions; no request, no response, no commit."""
