"""What `install.sh` and `install.cmd` run: the installation, its check, its repair and its removal."""
