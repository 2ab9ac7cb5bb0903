"""Files: GLB, OBJ, plain folder; levels of detail and animation."""
