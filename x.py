boom
