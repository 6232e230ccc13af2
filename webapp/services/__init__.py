"""What the product does, as functions. They know no request and no response, and they never commit."""
