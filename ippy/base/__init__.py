"""What every other folder stands on: checks of arguments, the device, files and paths."""
