"""Many raw files through a chain, by workers on this machine or on a cluster; resumable at any kill.

settings        what is done with which file, and the limits
inputs          files, folders, patterns and tables as jobs
fingerprint     what an output is made from, by which a finished one is recognised
records         what is known of each output, beside it
estimate        the memory of a file before it is started
rows            the results, one row a file
work            one file in a worker
driver          who does what next: a state machine without files, processes and clock
engine          what a driver needs of workers
process_engine  workers as processes of this machine
ray_engine      workers as actors on Ray
loop            drives an engine until all is done
table           the rows as CSV and Parquet
page            the rows as a page that sorts them, with the pictures of outliers
run             all of it
"""
