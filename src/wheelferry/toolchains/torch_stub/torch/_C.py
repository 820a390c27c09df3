"""The flags of torch's own compilation that a setup.py asks for."""

# torch's wheels for Linux from 2.6 on; projects ask in order to choose a download or a macro
_GLIBCXX_USE_CXX11_ABI = True
