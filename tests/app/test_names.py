from hififace.app.names import name_html


def test_a_long_name_is_cut_in_its_middle():
    assert name_html("portrait-124", 11) == '<span class="hf-name">portr…t-124</span>'
    assert name_html("portrait-12", 11) == '<span class="hf-name">portrait-12</span>'


def test_nothing_of_a_name_is_html():
    assert name_html("<b>.png", 20, "strong") == '<strong class="hf-name">&lt;b&gt;.png</strong>'
