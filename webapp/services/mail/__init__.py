"""E-mails: written, handed to SMTP, shown in the mailbox."""
