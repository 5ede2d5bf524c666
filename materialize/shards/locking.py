"""The lock around libhdf5, which is not made for several threads at once."""

from h5py import _objects

LIBHDF5 = _objects.phil
"""h5py's own lock, re-entrant, so that whoever else uses h5py in this process waits for it too.

h5py takes it call by call, but not around reading and writing chunks directly (3.14 and before):
without it, threads that encode zstd or gzip blocks crashed the process or met errors such as
"Unspecified error in H5Dget_chunk_storage_size". Hold it around whole operations.
"""
