"""Simulated phone captures with known textures: head, room, phone, clips, and the truth."""
