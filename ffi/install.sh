#!/bin/sh
# Installs prodcon for C and C++: libprodcon.so, libprodcon.a, prodcon.h, prodcon.hpp, prodcon.pc, and what find_package(prodcon) of CMake needs.
#
#     ffi/install.sh                                     builds with `cargo build --release` and installs below /usr/local
#     PREFIX=/usr LIBDIR=/usr/lib64 DESTDIR=/tmp/stage ffi/install.sh
#     ffi/install.sh --uninstall                         removes what it installs (with the same variables)
#
# PREFIX      where it will be used from                 /usr/local
# LIBDIR      of the libraries                           $PREFIX/lib
# INCLUDEDIR  of the headers                             $PREFIX/include
# DESTDIR     put before all of these while copying      (nothing)
# LIBRARIES   a directory with libraries built already   (nothing: they are built)
#
# After an installation outside DESTDIR run ldconfig, or set LD_LIBRARY_PATH.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
DESTDIR=${DESTDIR:-}
LIBRARIES=${LIBRARIES:-}
for dir in "$PREFIX" "$LIBDIR" "$INCLUDEDIR"; do
    case $dir in
    /*) ;;
    *) echo "install.sh: '$dir' is not an absolute path: set PREFIX, LIBDIR and INCLUDEDIR to absolute ones" >&2; exit 2 ;;
    esac
done

lib=$DESTDIR$LIBDIR
include=$DESTDIR$INCLUDEDIR

case ${1:-} in
'') ;;
--uninstall)
    rm -f "$lib"/libprodcon.so "$lib"/libprodcon.so.* "$lib"/libprodcon.a "$lib"/pkgconfig/prodcon.pc "$include"/prodcon.h "$include"/prodcon.hpp
    rm -rf "$lib"/cmake/prodcon
    exit 0
    ;;
*) echo "usage: install.sh [--uninstall]   (see the head of the script for the variables)" >&2; exit 2 ;;
esac

cargo=${CARGO:-cargo}
version=$(cd "$here" && "$cargo" pkgid -p prodcon-ffi | sed 's/.*[#@]//')
# As build.rs says it.
case $version in
0.*) soversion=${version%.*} ;;
*) soversion=${version%%.*} ;;
esac
if [ -z "$LIBRARIES" ]; then
    (cd "$here" && "$cargo" build --release -p prodcon-ffi)
    LIBRARIES=$(cd "$here" && "$cargo" metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
fi

# From the directory of the CMake files to that of the headers, without going through PREFIX where both are below it: the installed tree may then be moved.
case $INCLUDEDIR:$LIBDIR in
"$PREFIX"/*:"$PREFIX"/*)
    up=$(printf '%s' "${LIBDIR#"$PREFIX"/}/cmake/prodcon" | sed 's|[^/][^/]*|..|g')
    include_from_cmake=$up/${INCLUDEDIR#"$PREFIX"/}
    ;;
*) include_from_cmake= ;;
esac

fill() {
    sed -e "s|@PREFIX@|$PREFIX|g" -e "s|@LIBDIR@|$LIBDIR|g" -e "s|@INCLUDEDIR@|$INCLUDEDIR|g" -e "s|@VERSION@|$version|g" -e "s|@SOVERSION@|$soversion|g" \
        -e "s|@COMPATIBLE@|$(printf '%s' "$soversion" | sed 's|[.]|[.]|g')|g" \
        -e "s|\${CMAKE_CURRENT_LIST_DIR}/@INCLUDE_FROM_CMAKE@|${include_from_cmake:+\${CMAKE_CURRENT_LIST_DIR\}/}${include_from_cmake:-$INCLUDEDIR}|g" "$here/$1" > "$2"
    chmod 644 "$2"
}

mkdir -p "$lib/pkgconfig" "$lib/cmake/prodcon" "$include"
install -m 755 "$LIBRARIES/libprodcon.so" "$lib/libprodcon.so.$version"
ln -sf "libprodcon.so.$version" "$lib/libprodcon.so.$soversion"
ln -sf "libprodcon.so.$soversion" "$lib/libprodcon.so"
install -m 644 "$LIBRARIES/libprodcon.a" "$lib/libprodcon.a"
install -m 644 "$here/include/prodcon.h" "$here/include/prodcon.hpp" "$include"
fill prodcon.pc.in "$lib/pkgconfig/prodcon.pc"
fill prodconConfig.cmake.in "$lib/cmake/prodcon/prodconConfig.cmake"
fill prodconConfigVersion.cmake.in "$lib/cmake/prodcon/prodconConfigVersion.cmake"
echo "prodcon $version for C: libraries in $lib, headers in $include"
