"""Videos and photos become upright sRGB frames."""
