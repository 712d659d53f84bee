"""An fp32 file becomes an int8 one: ranges from real crops, places, explicit nodes, and a tolerance to keep."""
