"""E-mails: written as rows, sent by SMTP, shown in the mailbox."""
