"""What mail servers report by mail: bounces (RFC 3464) and complaints (RFC 5965), read from a mailbox."""
