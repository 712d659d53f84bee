"""Where results go: one file per format.

What a killed process leaves, by format:

- CSV, NDJSON: whole lines, up to the last frame (lines.py);
- pictures: whole ones (pictures.py);
- MP4: a file that plays, up to the last second (mp4.py);
- COCO, Parquet: nothing at their name, for they end in something that covers the whole file. What was found until then
  lies in a hidden folder beside it, from which `lmdeploy.writers.recover.recover` makes the file (spool.py).
"""
