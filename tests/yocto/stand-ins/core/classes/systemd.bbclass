# Stands in: nothing of the class matters before a package is made.
