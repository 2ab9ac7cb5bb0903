"""Other people made of the few studio subjects: mixing, painting, ageing, makeup."""
