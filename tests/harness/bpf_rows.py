"""Rows of a pinned map, written by libbpf: what a test cannot bring about by traffic in reasonable time."""
import ctypes
import os

_libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


def update(pin, rows):
    """Sets rows [(key bytes, value bytes)] of a map that is not per-CPU."""
    fd = _libbpf.bpf_obj_get(str(pin).encode())
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"bpf_obj_get {pin}")
    try:
        for key, value in rows:
            if _libbpf.bpf_map_update_elem(fd, key, value, ctypes.c_ulonglong(0)):
                raise OSError(ctypes.get_errno(), f"bpf_map_update_elem {pin}")
    finally:
        os.close(fd)
