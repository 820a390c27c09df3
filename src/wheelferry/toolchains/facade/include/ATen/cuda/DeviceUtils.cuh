#error "wheelferry's facade is for operators on the CPU and has no <ATen/cuda/DeviceUtils.cuh>"
