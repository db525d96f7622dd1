"""Put back what was saved: `lookout-restore DATE [PART…]`.

A copy is fetched and judged before anything live is touched. Then, part by part: stop its units,
put each source in its place with the present state kept aside, start, look whether it runs; if it
does not, go back. A journal beside what is kept aside says at any moment how far that came.
"""
