"""Drives programs and computes nothing itself: sessions, the training loop, checkpoints."""
