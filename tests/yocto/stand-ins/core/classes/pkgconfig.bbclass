DEPENDS += "pkgconfig-native"
