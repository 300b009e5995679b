from hififace.app.names import name_html


def test_a_long_name_keeps_its_end_whole():
    assert (
        name_html("portrait-124.jpg")
        == '<span class="hf-name"><span>portrait-</span><span>124.jpg</span></span>'
    )


def test_a_short_name_is_one_piece_and_nothing_of_it_is_html():
    assert name_html("<b>.png", "strong") == '<strong class="hf-name"><span>&lt;b&gt;.png</span></strong>'
