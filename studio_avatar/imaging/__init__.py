"""Color, pictures, videos and files, without any knowledge of faces."""
