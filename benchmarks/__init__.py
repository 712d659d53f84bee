"""Measurements that anyone can repeat; see README.md for the contract."""
