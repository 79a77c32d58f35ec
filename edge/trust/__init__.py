"""What a joined gateway trusts and is trusted by: its key and certificate, joining, renewing, TLS with any clock."""
