"""Users, their passwords, invitations and accounts."""
