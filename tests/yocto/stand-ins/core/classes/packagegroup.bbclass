# Stands in: one package for all processors, unless the recipe said otherwise before.
PACKAGE_ARCH ?= "all"
LICENSE ?= "MIT"
