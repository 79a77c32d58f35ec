"""Enrolment: the office's certificate authority, the sites that may join, what the broker is told of them."""
