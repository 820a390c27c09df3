"""One kind of input and output a file: processes, files, threads, interpreters, the sandbox."""
