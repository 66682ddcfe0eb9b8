# add_roman A B: their sum in Roman numerals. Needs from_roman, to_roman and add.
add_roman() {
    to_roman "$(add "$(from_roman "$1")" "$(from_roman "$2")")"
}
