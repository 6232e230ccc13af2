"""Signs of health, for load balancers, monitoring and the operator. They must tell the truth."""
